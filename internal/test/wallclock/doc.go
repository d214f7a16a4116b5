// Package wallclock has no code of its own: its test builds its other tests with
// a package time whose wall clock they can step, and runs them. A step is what a
// suspended laptop, a virtual machine that was paused, and a corrected clock do. It
// runs with CI=true or SLUICE_FULL=1.
package wallclock
