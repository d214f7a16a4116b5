package httphandler

import (
	"context"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h.
const tcpUserTimeout = 18

// boundUnacked has the kernel give a connection up on which what was sent stays
// unacknowledged. Keep-alive probes are not sent meanwhile.
func boundUnacked(_ context.Context, _, _ string, c syscall.RawConn) error {
	// A kernel without it does as it always did.
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unackedTimeout/time.Millisecond))
	})
}
