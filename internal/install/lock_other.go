//go:build !unix

package install

import (
	"context"
	"errors"
)

// Lock returns an error.
func Lock(context.Context, string) (func(), error) {
	return nil, errors.New("test servers are installed on Unix only")
}
