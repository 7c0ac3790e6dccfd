# for socket
import sys
import socket

# for random error
import random

#Server's IP address
serverName = sys.argv[1]

#Port for communication
serverPort = int(sys.argv[2])

# Creating Client Socket
try:
    clientSocket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    print ("Socket created successfully")
except socket.error as err:
    print ("Socket creation failed with error %s" %(err))

# Connecting to the server
try:
    clientSocket.connect((serverName, serverPort))
    print ("Connected with Tanvir's server successfully1")
except Exception as err:
    print("Connection with server failed! Error is: %s" %(err))

while True:

    print(clientSocket.recv(1024).decode())

    # send account name
    name = input()
    clientSocket.send(name.encode())

    print(clientSocket.recv(1024).decode())

    # send account pin
    pin = input()
    clientSocket.send(pin.encode())

    print(clientSocket.recv(1024).decode())

    while True:
        #print('Select a command to continue: ')
        command = input()
        clientSocket.send(command.encode())
        print(clientSocket.recv(1024).decode())

        if command == '4': #exit
            break
        elif command == '3' or command == '2': #deposit / withdraw
            amount = input()
            clientSocket.send(amount.encode())
            print(clientSocket.recv(1024).decode())
    print("Connection closed!")
    break

clientSocket.close()
