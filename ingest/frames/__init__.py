"""Frames of meters as bytes: links, security and records of M-Bus, ciphers of modules, wrappers, Sparkplug's schema."""
