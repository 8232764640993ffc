"""`python -m sayiir_es.cli`: the command line where no script is installed."""

from sayiir_es.cli.app import main

if __name__ == "__main__":
    main()
