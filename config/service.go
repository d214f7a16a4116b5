package config

import (
	"net"
	"strconv"
)

// Off in place of an address or a URL leaves out what it would be for.
const Off = "off"

// A Service is what the process that consumes the queues serves: the section service.
type Service struct {
	// Admin is the address of the admin listener, "off" for none. Empty means
	// service.DefaultAdmin.
	Admin string
	// Pprof serves profiles at the admin listener.
	Pprof bool
	// Relay runs the relay of the delay_store and the schedules beside the queues. In a
	// file it is true unless it is given.
	Relay bool
	// Control is the URL of the store in which operators pause and limit queues, "off" for
	// none. Empty means the one beside each queue's idempotency store.
	Control string
	// Groups are the groups of queues that share handlers, by name.
	Groups map[string]Group
}

// A Group is several queues that share handlers; see [Consumer].Group.
type Group struct {
	// Concurrency is how many messages of all its queues are handled concurrently. In a
	// file it is 16 unless it is given.
	Concurrency int
}

// address reports whether a names a place to listen: a host and a port, a port alone, or
// off.
func address(a string) bool {
	port := a
	if _, p, err := net.SplitHostPort(a); err == nil {
		port = p
	}
	n, err := strconv.Atoi(port)
	return a == Off || err == nil && n >= 0 && n <= 65535
}
