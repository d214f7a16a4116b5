// Package crashtest has no code of its own: its tests run workers as real
// processes, kill them, stop servers under them, and count effects.
package crashtest
