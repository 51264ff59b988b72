//! The conformance suite of the contract between the Package Manager and a CRM: one test for each
//! promise of `docs/crm-contract.md`, over HTTP alone.
//!
//! It asks the CRM at `CRM_CONFORMANCE_URL` (with the token `CRM_CONFORMANCE_TOKEN`), or starts the
//! reference CRM for each test when that is not set. What a CRM does not offer by its health's
//! `features` is not asked of it. Every unit has a random id, and is deleted at the end of a test
//! that passes.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![expect(clippy::print_stdout, reason = "tells what was not asked of a CRM that lacks it")]

mod errors;
mod generations;
mod records;
mod restart;
mod target;
mod units;
mod watches;
