//! From characters with positions to lines, columns and blocks in reading order.
