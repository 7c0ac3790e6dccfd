import sys
from socket import *

serverName = sys.argv[1]
serverPort = int(sys.argv[2])
clientSocket = socket(AF_INET, SOCK_STREAM)

clientSocket.connect((serverName, serverPort))

message = input('Enter a uppercase sentence: ')
clientSocket.send(message.encode())

modifiedMsg = clientSocket.recv(2048)
print('From Server: ', modifiedMsg.decode())

clientSocket.close()
