package httphandler

import (
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout bounds a connection's making, name and all.
	dialTimeout = 10 * time.Second
	// pingAfter and pingTimeout find a dead HTTP/2 connection: after so long without
	// a frame it is pinged, and closed if no answer comes.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second
	// idleTimeout bounds how long a connection is kept that no request uses: one that
	// something between has forgotten costs its next request.
	idleTimeout = 30 * time.Second
	// unackedTimeout bounds how long what was sent may stay unacknowledged.
	unackedTimeout = 30 * time.Second
)

// newTransport returns a transport for one endpoint.
func newTransport(connections int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
	// Of its own accord it keeps two a host, and would open a connection for
	// nearly every message.
	t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
	t.IdleConnTimeout = idleTimeout
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	dialer := &net.Dialer{
		Timeout: dialTimeout, ControlContext: boundUnacked,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
	t.DialContext = dialer.DialContext
	return t
}
