"""One file per family of formats; each turns what it reads into a `Dataset`."""
