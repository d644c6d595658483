"""One folder for each library that is traced without a change to the application."""
