// Package crashtest has no code of its own: its tests run workers as real
// processes, kill them, stop servers under them, and count effects. They run with
// CI=true or SLUICE_FULL=1.
package crashtest
