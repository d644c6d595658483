"""Names of tags about databases that speak SQL."""

DB = "sql.db"
