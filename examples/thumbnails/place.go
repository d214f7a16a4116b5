package main

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob" // gs://
	_ "gocloud.dev/blob/s3blob"  // s3://
)

// images are the program's own: real ones of several kinds and sizes, and three
// that are poison.
//
//go:embed testdata
var images embed.FS

// unpack writes the program's own images into a directory.
func unpack(dir string) error {
	own, err := fs.Sub(images, "testdata")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, own)
}

// openBucket opens a bucket by its URL, or a directory by its path, and returns
// it with the name that events call it by.
func openBucket(ctx context.Context, place string, create bool) (*blob.Bucket, string, error) {
	if scheme, _, ok := strings.Cut(place, "://"); ok && scheme != "file" {
		u, err := url.Parse(place)
		if err != nil {
			return nil, "", err
		}
		b, err := blob.OpenBucket(ctx, place)
		return b, u.Host, err
	}
	dir, err := filepath.Abs(strings.TrimPrefix(place, "file://"))
	if err != nil {
		return nil, "", err
	}
	// NoTempDir has a file written beside its destination, so that it can be put
	// there by a rename, whole, on any file system.
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: create, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, "", fmt.Errorf("directory %s: %w", dir, err)
	}
	return b, filepath.Base(dir), nil
}
