"""HTML pages: the template, tables and charts as plain data; knows no run."""
