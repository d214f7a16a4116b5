package process_test

import (
	"net"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/process"
)

func TestFreeAddr(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		addr, err := process.FreeAddr()
		require.NoError(t, err)
		require.False(t, seen[addr], "an address is given once")
		seen[addr] = true
		host, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", host)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		require.Less(t, n, 32_768, "no outgoing connection takes it")
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", addr)
		require.ErrorIs(t, err, syscall.EADDRINUSE, "no other process gets it from FreePort")
	}
}
