//! Configuration, wiring, telemetry, shutdown and the job loop.
