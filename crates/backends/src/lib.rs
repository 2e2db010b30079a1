//! Vector index, objects, cache and queue wake-ups.
