//! Everything that needs a log opened as its users open it.

mod memory;
