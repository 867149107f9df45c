"""Studies: questions, each in one file with the commands that answer it and a finding.

``study`` reads such a file, ``rows`` are the figures that its commands print, ``writing`` fills
them into the text, and ``command`` runs studies and keeps their results.  No figure is typed: each
comes out of a command.
"""
