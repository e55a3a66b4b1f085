"""`python -m foodvision`: the command line, as torchrun and `accelerate launch` start it."""

from foodvision.cli import main

if __name__ == "__main__":
    main()
