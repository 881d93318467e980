"""What every benchmark uses: entries and their one command line, cells and their runner, records, tables, machines."""
