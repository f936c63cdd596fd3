//! A store that counts, holds up or spoils what passes through it.
