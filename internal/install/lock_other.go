//go:build !unix

package install

import (
	"context"
	"errors"
)

func lock(context.Context, string) (func(), error) {
	return nil, errors.New("test servers are installed on Unix only")
}
