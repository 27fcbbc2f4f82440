"""What the whole service does when something breaks: real processes, real sockets, real kills."""
