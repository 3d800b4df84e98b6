"""Where attempts execute: one contract, one module for each place."""
