package producer

// A group is a group of which messages are in a request, or wait to be tried
// again. The later ones that were taken from pending wait here; they are older
// than any of the group that is still pending.
type group struct {
	wait []*entry
	// failing is true while the first message of the group is tried again.
	failing bool
}
