//! Window operators against naive oracles, and by example.

mod harness;
mod oracle;
mod properties;
