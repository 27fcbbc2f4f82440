"""Agreement of the evaluators on generated rule books, snapshots and orders."""
