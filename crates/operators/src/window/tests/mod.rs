//! Window operators against naive oracles, and by example.

mod batch_mode;
mod functions;
mod harness;
mod joins;
mod oracle;
mod pressure;
mod processing_time;
mod properties;
