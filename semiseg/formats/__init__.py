"""Readers and writers of sequence and annotation files; only those of GFF and GenBank know 1-based coordinates."""
