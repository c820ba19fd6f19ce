//! One file or folder per driver.
