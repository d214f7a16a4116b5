package inbox

// An Event is the result of a verified request.
type Event struct {
	// ID is the event's identity, the same whenever the provider sends it again. It is 1
	// to 256 visible ASCII characters.
	ID string
	// Type is the kind of the event, as the provider names it. Empty means that there is
	// none.
	Type string

	// Handshake marks a request that is not an event. It is answered with 200 and
	// Answer, as plain text, and nothing is queued.
	Handshake bool
	Answer    string
}

// The bounds of an event's texts, in bytes. They become attributes and keys.
const (
	maxID        = 256
	maxType      = 256
	maxNamespace = 64
)

// plain reports whether s is up to most visible ASCII characters, and at least one.
func plain(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
