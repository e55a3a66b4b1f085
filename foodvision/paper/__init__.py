"""The paper, checked: each of its claims that can be run is one function."""
