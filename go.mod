module github.com/headwatch/headwatch

go 1.26
