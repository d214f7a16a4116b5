package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The image's user, which cmd/sluice/Dockerfile has too, and its files.
const (
	user      = 65532
	home      = "/var/lib/sluice"
	program   = "/usr/local/bin/sluice"
	adminAddr = "0.0.0.0:9464"
	adminPort = "9464/tcp"
)

// An image builds the container image of the program, for each architecture.
type image struct {
	binaries map[string]*string // by architecture
	extras   string
	license  string
	tag      string
	revision string
	created  time.Time
}

func newImage() *cobra.Command {
	i := &image{binaries: map[string]*string{}}
	c := &cobra.Command{
		Use:   "image DIR",
		Short: "Write the container image into DIR, for Docker and as an OCI layout",
		Long: `Writes DIR/oci, an OCI layout of an index of all architectures, and for each of them
DIR/sluice_ARCH.tar, which docker load reads. It needs neither Docker nor a registry.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return i.write(args[0])
		},
	}
	for _, architecture := range architectures {
		i.binaries[architecture] = c.Flags().String(architecture, "", "`BINARY` for linux/"+architecture)
	}
	c.Flags().StringVar(&i.extras, "extras", "", "`DIR` that the command extras has filled")
	c.Flags().StringVar(&i.license, "license", "LICENSE", "`FILE` with Sluice's own license")
	c.Flags().StringVar(&i.tag, "tag", "ghcr.io/sluice-go/sluice:snapshot", "the image's `NAME:TAG`")
	c.Flags().StringVar(&i.revision, "revision", "", "`COMMIT` that the image is made of")
	return c
}

func (i *image) write(dir string) error {
	at, err := epoch()
	if err != nil {
		return err
	}
	i.created = at
	tag, err := name.NewTag(i.tag)
	if err != nil {
		return err
	}
	base, err := i.files()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		binary := *i.binaries[architecture]
		if binary == "" {
			continue
		}
		img, err := i.build(architecture, binary, base)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := tarball.WriteToFile(filepath.Join(dir, "sluice_"+architecture+".tar"), tag, img); err != nil {
			return err
		}
		platform := v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: platform})
	}
	if m, err := index.IndexManifest(); err != nil {
		return err
	} else if len(m.Manifests) == 0 {
		return errors.New("image: no binary is given: --amd64 FILE, --arm64 FILE")
	}
	if err := os.RemoveAll(filepath.Join(dir, "oci")); err != nil {
		return err
	}
	_, err = layout.Write(filepath.Join(dir, "oci"), index)
	return err
}

// build makes the image of one architecture: the common files, then the program.
func (i *image) build(architecture, binary string, base v1.Layer) (v1.Image, error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	top, err := i.layer([]entry{{path: program, mode: 0o755, data: data}})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, base, top); err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, i.config(img, architecture))
}

func (i *image) config(img v1.Image, architecture string) *v1.ConfigFile {
	file, err := img.ConfigFile()
	if err != nil { // an image made of nothing has one
		file = &v1.ConfigFile{}
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", architecture
	file.Created = v1.Time{Time: i.created}
	file.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", user, user),
		Env:          []string{"PATH=/usr/local/bin", "HOME=" + home, "SLUICE_SERVICE_ADMIN=" + adminAddr},
		WorkingDir:   home,
		Entrypoint:   []string{program},
		ExposedPorts: map[string]struct{}{adminPort: {}},
		StopSignal:   "SIGTERM",
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", program, "probe"}, Interval: 10 * time.Second, Timeout: 5 * time.Second,
			StartPeriod: 15 * time.Second, Retries: 3,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "sluice",
			"org.opencontainers.image.source":   "https://github.com/sluice-go/sluice",
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.revision": cmp.Or(i.revision, "unknown"),
		},
	}
	return file
}

// files returns the layer of everything but the program: certificates, the user,
// a folder that it may write, and licenses.
func (i *image) files() (v1.Layer, error) {
	license, err := os.ReadFile(i.license)
	if err != nil {
		return nil, err
	}
	others, err := os.ReadFile(filepath.Join(i.extras, noticesFile))
	if err != nil {
		return nil, fmt.Errorf("%w (--extras DIR names what the command extras has written)", err)
	}
	return i.layer([]entry{
		{path: "/etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: certificates()},
		{path: "/etc/passwd", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nsluice:x:%d:%d:sluice:%s:/sbin/nologin\n", user, user, home)},
		{path: "/etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nsluice:x:%d:\n", user)},
		{path: "/tmp", mode: 0o1777},
		{path: home, mode: 0o750, owner: user},
		{path: "/usr/share/doc/sluice/LICENSE", mode: 0o644, data: license},
		{path: "/usr/share/doc/sluice/" + noticesFile, mode: 0o644, data: others},
	})
}

// certificates returns Mozilla's root certificates as PEM. They come from a module,
// so that the image does not depend on the machine that builds it.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
	}
	return out.Bytes()
}

// An entry is a file of a layer, or a folder if it has no data.
type entry struct {
	path  string
	mode  int64
	owner int
	data  []byte
}

// layer packs entries, with the folders above them.
func (i *image) layer(entries []entry) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{"/": true}
	var folder func(path string, mode int64, owner int) error
	folder = func(path string, mode int64, owner int) error {
		if made[path] {
			return nil
		}
		made[path] = true
		if err := folder(filepath.Dir(path), 0o755, 0); err != nil {
			return err
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path[1:] + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: i.created, Format: tar.FormatPAX})
	}
	for _, e := range entries {
		if e.data == nil {
			if err := folder(e.path, e.mode, e.owner); err != nil {
				return nil, err
			}
			continue
		}
		if err := folder(filepath.Dir(e.path), 0o755, 0); err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.path[1:], Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.data)), ModTime: i.created, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}
