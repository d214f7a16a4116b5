//go:build !linux

package sqlitequeue

import "os"

// A sight is what a look at a file showed.
type sight struct{ info os.FileInfo }

// lookAt looks at the file at path.
func lookAt(path string) (sight, error) {
	info, err := os.Stat(path)
	return sight{info}, err
}

// lookInto looks at an open file, wherever it is.
func lookInto(f *os.File) (sight, error) {
	info, err := f.Stat()
	return sight{info}, err
}

func (s *sight) size() int64 { return s.info.Size() }

// same reports whether both are of one file.
func (s *sight) same(o *sight) bool { return os.SameFile(s.info, o.info) }

// unchanged reports whether a file that is the same was not written to in between.
func (s *sight) unchanged(o *sight) bool {
	return s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}
