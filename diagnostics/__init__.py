"""Daily profile, features, rules and findings. Pure: tables in, tables out, no clock, no files, no network."""
