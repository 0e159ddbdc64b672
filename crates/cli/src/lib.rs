//! The one binary frazil: wiring, roles, commands
