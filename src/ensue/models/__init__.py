"""Families of models, one file each: counting models need no torch, neural ones do."""
