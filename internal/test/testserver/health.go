package testserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// serves returns an error if the LocalStack at url does not run one of the
// services.
func serves(ctx context.Context, url string, services []string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_localstack/health", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	var health struct{ Services map[string]string }
	if err := json.NewDecoder(res.Body).Decode(&health); err != nil {
		return err
	}
	for _, s := range services {
		switch st := health.Services[s]; st {
		case "available", "running":
		case "starting": // somebody else's first request; the next ones wait for it
		default:
			return fmt.Errorf("service %s is %q", s, st)
		}
	}
	return nil
}

// answers returns a health check: the server at addr answers say with text that begins
// with begin.
func answers(addr, say, begin string) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, say); err != nil {
			return err
		}
		got := make([]byte, len(begin))
		if _, err = io.ReadFull(conn, got); err == nil && string(got) != begin {
			err = fmt.Errorf("answered %q", got)
		}
		return err
	}
}
