"""What both daemons share; knows no TUF."""
