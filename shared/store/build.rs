//! Tells Cargo that the schema is part of this crate: a new migration must be compiled in.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
