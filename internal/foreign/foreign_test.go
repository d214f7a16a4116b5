package foreign_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/internal/foreign"
)

type noStatus struct{}

func (noStatus) Error() string              { return "no status" }
func (noStatus) GRPCStatus() *status.Status { return nil }

func TestStatuses(t *testing.T) {
	code, ok := foreign.GRPC(status.Error(codes.Unavailable, "down"))
	require.True(t, ok)
	require.EqualValues(t, codes.Unavailable, code)
	http, ok := foreign.Google(&googleapi.Error{Code: 429})
	require.True(t, ok)
	require.Equal(t, 429, http)

	for _, err := range []error{errors.New("x"), noStatus{}, (*googleapi.Error)(nil), fmt.Errorf("x: %w", &googleapi.Error{Code: 429})} {
		_, ok := foreign.GRPC(err)
		require.False(t, ok, "%T", err)
		_, ok = foreign.Google(err)
		require.False(t, ok, "%T", err)
	}
}

func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		err                error
		unreached, timeout bool
	}{
		{errors.New("x"), false, false},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true, false},
		{fmt.Errorf("x: %w", &net.DNSError{IsNotFound: true}), true, false},
		{&net.DNSError{IsTimeout: true}, false, true},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), false, true},
		{context.Canceled, false, false},
	} {
		unreached, timeout := foreign.Network(c.err)
		require.Equal(t, c.unreached, unreached, "%v", c.err)
		require.Equal(t, c.timeout, timeout, "%v", c.err)
	}
}
