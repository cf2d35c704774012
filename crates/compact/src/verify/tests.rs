//! Broken blocks are found out, whole ones are not blamed.
