// Command generate draws the images of testdata. It was run once; run it again,
// from the directory above, after changing it:
//
//	go run ./generate
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
)

func main() {
	if err := run("testdata"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes every file into dir.
func run(dir string) error {
	for _, f := range []struct {
		name   string
		encode func(image.Image) ([]byte, error)
		img    image.Image
	}{
		{"sunset.jpg", asJPEG, sunset(1200, 800)},
		{"portrait.jpg", asJPEG, sunset(600, 900)},
		{"holidays/beach 1+1 (100%).jpg", asJPEG, sunset(800, 600)},
		{"holidays/panorama.jpg", asJPEG, sunset(1600, 200)},
		{"fractal.png", asPNG, fractal(640, 480)},
		{"plot.png", asPNG, rings(500, 500)},
		{"icon.png", asPNG, rings(32, 32)},
		{"tall.png", asPNG, rings(120, 700)},
		{"pixel.png", asPNG, rings(1, 1)},
		{"wheel.gif", asGIF, rings(300, 300)},
		{"banner.gif", asGIF, fractal(468, 60)},
	} {
		content, err := f.encode(f.img)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := write(dir, f.name, content); err != nil {
			return err
		}
	}
	// The poison.
	whole, err := asJPEG(sunset(700, 500))
	if err != nil {
		return err
	}
	if err := write(dir, "truncated.jpg", whole[:len(whole)/3]); err != nil {
		return err
	}
	if err := write(dir, "notes.png", []byte("This is not an image. Someone saved a shopping list under the wrong name.\n")); err != nil {
		return err
	}
	return write(dir, "bomb.png", bomb(100_000, 100_000))
}

func write(dir, name string, content []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func asJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 80})
	return b.Bytes(), err
}

func asPNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img)
	return b.Bytes(), err
}

func asGIF(img image.Image) ([]byte, error) {
	p := image.NewPaletted(img.Bounds(), palette.WebSafe)
	draw.Draw(p, p.Bounds(), img, image.Point{}, draw.Src)
	var b bytes.Buffer
	err := gif.Encode(&b, p, nil)
	return b.Bytes(), err
}

// sunset is a smooth sky over waves.
func sunset(w, h int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	horizon := float64(h) * 0.6
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			var c color.RGBA
			if fy < horizon {
				t := fy / horizon
				c = color.RGBA{R: level(40 + 215*t), G: level(50 + 100*t), B: level(120 - 60*t), A: 255}
				if math.Hypot(fx-float64(w)*0.65, fy-horizon*0.8) < float64(h)*0.12 {
					c = color.RGBA{R: 255, G: 230, B: 150, A: 255}
				}
			} else {
				wave := 20 * math.Sin(fx/25+fy/6)
				c = color.RGBA{R: level(20 + wave), G: level(50 + wave), B: level(110 + wave), A: 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// rings are coloured, on a transparent ground.
func rings(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			d := math.Hypot(float64(x-w/2), float64(y-h/2))
			ring := int(d / 12)
			if ring%2 == 0 {
				img.SetNRGBA(x, y, color.NRGBA{R: uint8(ring * 40), G: uint8(255 - ring*25), B: 160, A: 255})
			}
		}
	}
	return img
}

// fractal is a Mandelbrot set.
func fractal(w, h int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := complex(3.2*float64(x)/float64(w)-2.3, 2.4*float64(y)/float64(h)-1.2)
			var z complex128
			n := 0
			for ; n < 64 && real(z)*real(z)+imag(z)*imag(z) < 4; n++ {
				z = z*z + c
			}
			img.SetRGBA(x, y, color.RGBA{R: level(float64(n) * 4), G: level(float64(n*n) / 16), B: level(255 - float64(n)*3.9), A: 255})
		}
	}
	return img
}

func level(f float64) uint8 { return uint8(min(max(f, 0), 255)) }

// bomb is the beginning of a PNG that claims to be of w by h pixels.
func bomb(w, h uint32) []byte {
	header := make([]byte, 13)
	binary.BigEndian.PutUint32(header, w)
	binary.BigEndian.PutUint32(header[4:], h)
	header[8], header[9] = 8, 6 // 8 bits, RGBA
	out := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header)...)
	return append(out, chunk("IEND", nil)...)
}

func chunk(kind string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(append(out, kind...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}
