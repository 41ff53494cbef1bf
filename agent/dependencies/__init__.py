"""The packages that functions depend on: read from a bundle, resolved once in a sandbox, kept while they are needed."""
