//! Fixtures, fakes and the conformance suites of the ports.
