// Package archtest has no code but tests: they hold the repository to its own
// architecture. Imports go one way (handler ← drivers ← runtime ← commands, and
// middleware → handler only), a provider's SDK is linked only by its own
// driver, test support stays out of programs, and files and names keep to
// their limits.
package archtest
