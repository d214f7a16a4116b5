package sqlitequeue

import "github.com/sluice-go/sluice/internal/queue"

// Options are the options of [Open]. Nil and the zero Options mean the defaults.
type Options struct {
	// Clock is the engine's clock, for tests. Nil means the machine's.
	Clock queue.Clock
	// Sync makes each commit wait until it is on the disk, except those that only
	// lease messages: a lease need not outlive the machine that its holder runs on.
	// Without Sync nothing is lost when processes are killed; a power cut, or a crash
	// of the operating system, can undo the latest commits but does not damage the
	// file.
	Sync bool
}
